"""Guide 001, 3.3 and 3.7: an image folder, a dataset from a CSV file, the DataLoader, training and validation.

Slips in the guide: criterion(label, output) has its arguments the wrong way round; running_accu is never set to 0;
validation prints "Training Loss"; imshow gets images[0].transpose(1, 2, 0), which takes two axes (permute takes three);
MyDataset returns a pandas Series as label, which can't be collated.
"""

import csv
import tempfile
from pathlib import Path

from PIL import Image

import rushlight as torch
from rushlight import nn
from rushlight.utils.data import DataLoader, Dataset
from rushlight.vision import datasets, transforms


class MyDataset(Dataset):
    """Images of a folder, with labels from a CSV file."""

    def __init__(self, data_dir, info_csv, transform=None):
        with open(info_csv, newline="") as file:
            self.rows = [(row["Image_index"], int(row["label"])) for row in csv.DictReader(file)]
        self.data_dir, self.transform = Path(data_dir), transform

    def __getitem__(self, index):
        name, label = self.rows[index]
        image = Image.open(self.data_dir / name).convert("RGB")
        return (image if self.transform is None else self.transform(image)), label

    def __len__(self):
        return len(self.rows)


def draw(folder):
    """Bright and dark images, for training in a folder per class, for validation with a CSV file."""
    generator = torch.Generator().manual_seed(0)
    (folder / "val").mkdir()
    rows = []
    for label, name in enumerate(("bright", "dark")):
        (folder / "train" / name).mkdir(parents=True)
        for k in range(24):
            shade = torch.randint(0, 100, (12, 12, 3), generator=generator, dtype=torch.uint8) + (155 if label == 0 else 0)
            image = Image.fromarray(shade.numpy())
            if k < 16:
                image.save(folder / "train" / name / f"{k}.png")
            else:
                image.save(folder / "val" / f"{name}{k}.png")
                rows.append((f"{name}{k}.png", label))
    with open(folder / "val.csv", "w", newline="") as file:
        csv.writer(file).writerows([("Image_index", "label"), *rows])


def train(epoch):
    model.train()
    train_loss = 0
    for data, label in train_loader:
        data, label = data.to(device), label.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = criterion(output, label)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * data.size(0)
    train_loss = train_loss / len(train_loader.dataset)
    print(f"Epoch: {epoch} \tTraining Loss: {train_loss:.6f}")


def val(epoch):
    model.eval()
    val_loss, running_accu = 0, 0
    with torch.no_grad():
        for data, label in val_loader:
            data, label = data.to(device), label.to(device)
            output = model(data)
            preds = torch.argmax(output, 1)
            loss = criterion(output, label)
            val_loss += loss.item() * data.size(0)
            running_accu += torch.sum(preds == label.data)
    val_loss = val_loss / len(val_loader.dataset)
    print(f"Epoch: {epoch} \tValidation Loss: {val_loss:.6f} \tAccuracy: {running_accu / len(val_loader.dataset):.2f}")


torch.manual_seed(0)
device = torch.device("cuda:1" if torch.cuda.is_available() else "cpu")
print(device)
with tempfile.TemporaryDirectory() as name:
    draw(Path(name))
    data_transform = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    train_data = datasets.ImageFolder(f"{name}/train", transform=data_transform)
    val_data = MyDataset(f"{name}/val", f"{name}/val.csv", transform=transforms.ToTensor())
    train_loader = DataLoader(train_data, batch_size=16, num_workers=0, shuffle=True, drop_last=True)
    val_loader = DataLoader(val_data, batch_size=16, num_workers=0, shuffle=False)
    images, labels = next(iter(val_loader))
    print(images.shape, images[0].permute(1, 2, 0).shape, len(train_loader.dataset))

    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 2)
    ).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(8):
        train(epoch)
        val(epoch)
