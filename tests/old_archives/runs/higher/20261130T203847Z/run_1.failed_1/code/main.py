"""An open scaffold: its number is the value of SCORE."""
import json

SCORE = 0.6 + {}["offset"]

if __name__ == "__main__":
    with open("final_info.json", "w") as file:
        json.dump({"val_accuracy": SCORE}, file)
